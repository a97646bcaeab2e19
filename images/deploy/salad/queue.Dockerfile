# A server image with SaladCloud's job queue worker, which posts each job of the queue to /asr and
# takes the next when it is answered. It runs on SaladCloud only. Build it from any server image:
#   docker build -f images/deploy/salad/queue.Dockerfile -t REGISTRY/asr-api:latest-salad-queue \
#     --build-arg BASE=REGISTRY/asr-api:latest-openai-whisper-large-v3-turbo images/deploy/salad
ARG BASE=asr-api:latest

FROM ${BASE} AS worker
WORKDIR /data/worker
ARG WORKER=0.5.0
ADD --chown=10001:10001 https://github.com/SaladTechnologies/salad-cloud-job-queue-worker/releases/download/v${WORKER}/salad-http-job-queue-worker_x86_64.tar.gz worker.tar.gz
RUN python -m tarfile --extract worker.tar.gz . \
 && chmod 0755 salad-http-job-queue-worker

FROM ${BASE}
COPY --from=worker --chown=0:0 /data/worker/salad-http-job-queue-worker /usr/local/bin/
CMD ["python", "companion.py", "salad-http-job-queue-worker"]
