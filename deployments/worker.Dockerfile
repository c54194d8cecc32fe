# A worker: the package and nothing of a campaign. One image for both pools:
#   docker build -f deployments/worker.Dockerfile -t packshot-worker .
#   docker build -f deployments/worker.Dockerfile -t packshot-worker:gpu --build-arg EXTRAS=s3,diffusers .
# torch's Linux wheels bring CUDA along; the host needs the NVIDIA driver and container toolkit.
FROM python:3.12-slim-bookworm

ARG EXTRAS=s3
ENV PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    PREFECT_HOME=/home/packshot/.prefect \
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
