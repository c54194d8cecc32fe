#!/usr/bin/env bash
# What tests cannot do for want of Docker, GPUs and a cluster: starts it, renders the sample, looks at it, stops it.
#   deployments/try.sh compose                      the installation of compose.yaml: a run into its store, a worker killed amid
#                                                   it, every picture there after the next run; on this host, with Docker
#   SGLANG_IMAGE=... deployments/try.sh servers     two image servers of compose.yaml; Docker and two GPUs; pictures stay in try/
#   deployments/try.sh kubernetes                   those of kubernetes-servers.yaml, beside kubernetes.yaml in the cluster of kubectl
#   deployments/try.sh render SERVERS FOLDER        only the sample, with the packshot that is on the path
# LOOKS=2 renders the first two looks alone (not for compose), VARIATIONS=80 makes the run longer that is killed.
set -euo pipefail

fail() {
    echo "try.sh: $1" >&2
    exit 2
}

step() {
    echo "try.sh: $1" >&2
}

render() {
    local campaign=$2/campaign.yaml
    # An installation's Prefect server has nothing to do with it.
    unset PREFECT_API_URL PREFECT_API_AUTH_STRING
    packshot init "$2"
    sed -i "s|^model: proof\$|model: {name: klein-4b, server: \"$1\"}|" "$campaign"
    grep -q '^model: {' "$campaign" || fail "the sample has no line 'model: proof'"
    packshot render "$campaign" ${LOOKS:+--limit "$LOOKS"}
    packshot verify --deep "$campaign"
}

# A project and ports of its own, passwords that nobody else has: an installation on this host stays as it is.
with_docker() {
    folder=$(dirname "$PWD")/try
    command -v docker >/dev/null || fail "docker is not installed"
    [[ ! -e $folder ]] || fail "the folder try/ is there already; move it away"
    mkdir -p "$folder/campaigns"
    sh make-env.sh "$folder/.env" >/dev/null
    export CAMPAIGNS=$folder/campaigns SERVER_PORT=${SERVER_PORT:-14200} STORE_PORT=${STORE_PORT:-19000}
    tool=(docker compose --project-name packshot-try --env-file "$folder/.env" --file compose.yaml)
}

installation() {
    local campaign=/srv/campaigns/sample/campaign.yaml file=$folder/campaigns/sample/campaign.yaml
    step "builds"
    "${tool[@]}" build
    "${tool[@]}" run --rm --no-deps --no-TTY --user "$(id -u):$(id -g)" --env HOME=/tmp --volume "$folder:/try" \
        worker-cpu packshot init /try/campaigns/sample --output s3://packshot/try
    # Enough pictures, and small ones, to be killed amid them; the tiny model wants a worker with torch.
    sed -i -e "s/^variations: 1 .*/variations: ${VARIATIONS:-40}/" -e "s/^megapixels: 4/megapixels: 1/" "$file"
    rm "$folder/campaigns/sample/campaign-tiny.yaml"
    step "starts"
    "${tool[@]}" up --detach --wait --wait-timeout 600
    "${tool[@]}" run --rm --no-TTY deploy
    "${tool[@]}" exec --no-TTY worker-cpu packshot check "$campaign"
    step "renders"
    "${tool[@]}" exec --no-TTY watch prefect deployment run marketing-run/campaigns-cpu
    until_it is_begun "$campaign" "the run has delivered nothing"
    step "kills the worker"
    "${tool[@]}" kill worker-cpu
    if is_complete "$campaign"; then
        fail "the run had ended before its worker was killed; set VARIATIONS higher"
    fi
    "${tool[@]}" up --detach --wait --wait-timeout 600 worker-cpu
    step "renders the rest, once the dead run is known to be dead (some three minutes)"
    "${tool[@]}" exec --no-TTY watch prefect deployment run marketing-run/campaigns-cpu
    until_it is_complete "$campaign" "not every picture was delivered"
    step "looks at what is there"
    "${tool[@]}" exec --no-TTY worker-cpu packshot verify --deep "$campaign"
    step "done: all was delivered, and is as it was written"
}

# What `packshot status --json` says of a campaign, "" while it says nothing.
status() {
    "${tool[@]}" exec --no-TTY watch packshot status --json "$1" 2>/dev/null || true
}

is_complete() {
    [[ $(status "$1") == *'"complete": true'* ]]
}

is_begun() {
    [[ $(status "$1") =~ '"delivered": '[1-9] ]]
}

# Waits for one of the two above, fifteen minutes at most.
until_it() {
    for ((i = 0; i < 450; i++)); do
        if "$1" "$2"; then
            return
        fi
        sleep 2
    done
    fail "$3 in fifteen minutes"
}

# Called when the script ends, however it does.
clean() {
    local code=$?
    trap - EXIT
    step "stops"
    ((code == 0)) || "${tool[@]}" logs --no-color --tail 40 >&2 || true
    "${tool[@]}" --profile deploy down --volumes || code=1
    rm -r "$folder" || code=1
    exit "$code"
}

compose() {
    with_docker
    trap clean EXIT
    installation
}

servers() {
    [[ -n ${SGLANG_IMAGE:-} ]] || fail "SGLANG_IMAGE is not set; sglang.Dockerfile says what it must be"
    with_docker
    chmod 777 "$folder" # the worker is another user
    tool+=(--profile servers)
    # Weights are kept for the next try.
    trap '"${tool[@]}" down; rm -r "$folder/.env" "$folder/campaigns"' EXIT
    "${tool[@]}" build images-a worker-cpu
    "${tool[@]}" up --detach --wait --wait-timeout 3900 images-a images-b
    "${tool[@]}" run --rm --no-deps --no-TTY --volume "$folder:/try" --env LOOKS="${LOOKS:-}" worker-cpu \
        bash -s render "http://images-a:30000, http://images-b:30000" /try/sample <try.sh
}

kubernetes() {
    local host=packshot-images
    command -v kubectl >/dev/null || fail "kubectl is not installed"
    tool=(kubectl --namespace "${NAMESPACE:-packshot}")
    [[ -n $("${tool[@]}" get deployment/packshot-worker --ignore-not-found --output name) ]] ||
        fail "deployment/packshot-worker does not run; apply kubernetes.yaml"
    [[ -z $("${tool[@]}" get "statefulset/$host" --ignore-not-found --output name) ]] ||
        fail "statefulset/$host runs already"
    trap '"${tool[@]}" delete --filename kubernetes-servers.yaml' EXIT
    "${tool[@]}" apply --filename kubernetes-servers.yaml
    "${tool[@]}" rollout status "statefulset/$host" --timeout 65m
    "${tool[@]}" exec --stdin deployment/packshot-worker -- env LOOKS="${LOOKS:-}" \
        bash -s render "http://$host-0.$host:30000, http://$host-1.$host:30000" /tmp/sample <try.sh
}

case "${1:-} $#" in
"render 3") render "$2" "$3" ;;
"compose 1" | "servers 1" | "kubernetes 1")
    cd "$(dirname "${BASH_SOURCE[0]}")"
    "$1"
    ;;
*) fail "one of: compose, servers, kubernetes, render SERVERS FOLDER" ;;
esac
