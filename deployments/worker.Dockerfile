# A worker: the package and nothing of a campaign. Two images of one file; the second adds a layer to the first:
#   docker build -f deployments/worker.Dockerfile --target cpu -t packshot-worker .
#   docker build -f deployments/worker.Dockerfile --target gpu -t packshot-worker:gpu .
# `cpu` has neither torch nor CUDA: proofs, the hosted API and image servers need none. On Kubernetes one that starts jobs:
#   ... --target cpu --build-arg EXTRAS=s3,kubernetes -t registry.example.com/packshot-worker:1 .
# `gpu` has torch, whose Linux wheels (2.11 and newer) bring CUDA 13.0: the host needs NVIDIA's driver 580 or newer and
# the NVIDIA container toolkit. Models without a GPU, to try them:
#   ... --target gpu --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu -t packshot-worker:torch-cpu .
FROM python:3.12-slim-bookworm AS cpu

ARG EXTRAS=s3
ENV PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    PREFECT_HOME=/home/packshot/.prefect \
    PACKSHOT_CACHE=/home/packshot/.cache/packshot \
    HF_HOME=/models

# Pillow joins and orders the letters of Arabic, Hebrew, Hindi, ... on proofs with it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libfribidi0 \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 10001 packshot \
    && mkdir /models \
    && chown packshot /models

WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY catalogs catalogs
COPY inference inference
COPY tasks tasks
COPY flows flows
COPY deployments deployments
RUN pip install --constraint constraints.txt ".[${EXTRAS}]"

USER 10001
WORKDIR /home/packshot
ENV POOL=cpu LIMIT=1
# exec: it is process 1, gets the signal to stop, and waits for the runs, which end with it.
CMD ["sh", "-c", "exec packshot worker --pool \"$POOL\" --limit \"$LIMIT\" --with-healthcheck"]

FROM cpu AS gpu

ARG TORCH_INDEX=https://pypi.org/simple
# Asked for by the NVIDIA container toolkit: with an older driver the container does not start, and it says why.
ENV NVIDIA_REQUIRE_CUDA="cuda>=13.0" \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

USER 0
WORKDIR /src
# torch by itself, so that all else comes from the usual index.
RUN pip install --constraint constraints.txt --index-url "${TORCH_INDEX}" --extra-index-url https://pypi.org/simple torch \
    && pip install --constraint constraints.txt ".[s3,diffusers]"

USER 10001
WORKDIR /home/packshot
ENV POOL=gpu
