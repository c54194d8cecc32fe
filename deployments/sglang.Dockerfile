# An image server: SGLang with its diffusion part, as its documentation adds that to its own image.
#   docker build -f deployments/sglang.Dockerfile -t packshot-sglang --build-arg SGLANG_IMAGE=... .
# SGLANG_IMAGE is a release of https://hub.docker.com/r/lmsysorg/sglang/tags, written out (no `latest`, no `dev`), for a
# CUDA that the host's driver has, with the source under /sgl-workspace/sglang (`-runtime` tags may lack it). It has no
# default: another release may make other pictures of the same seed, and which one runs should be somebody's choice.
ARG SGLANG_IMAGE
FROM ${SGLANG_IMAGE}

WORKDIR /sgl-workspace/sglang
RUN pip install --no-cache-dir -e "python[diffusion]"

EXPOSE 30000
CMD ["sglang", "serve", "--model-path", "black-forest-labs/FLUX.2-klein-4B", "--host", "0.0.0.0", "--port", "30000"]
