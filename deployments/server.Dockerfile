# The Prefect server with the versions that were tested: newer fastapi and sqlalchemy break it without a word.
#   docker build -f deployments/server.Dockerfile -t packshot-server .
FROM python:3.12-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1 \
    PREFECT_HOME=/home/prefect/.prefect \
    PREFECT_UI_API_URL=/api \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT=false

RUN useradd --create-home --uid 10001 prefect
WORKDIR /src
COPY constraints.txt ./
RUN pip install --constraint constraints.txt prefect fastapi "sqlalchemy[asyncio]"

USER 10001
WORKDIR /home/prefect
EXPOSE 4200
CMD ["prefect", "server", "start", "--host", "0.0.0.0", "--port", "4200"]
