# A server image with a model inside, from any server image. It starts without a network, and no
# volume on /data hides the weights.
ARG BASE=asr-api:latest

FROM ${BASE} AS weights
WORKDIR /bake
COPY models/demo/weights demo
COPY images/bake.py ./
ARG MODEL_ID
ARG MODEL_REVISION=main
ARG DTYPE=float16
ARG HF_ENDPOINT
RUN python bake.py "${MODEL_ID}" --revision "${MODEL_REVISION}" --dtype "${DTYPE}" \
      --into /data/layer/models

FROM ${BASE}
COPY --from=weights --chown=0:0 /data/layer/ /
ARG MODEL_ID
ENV MODEL_ID=${MODEL_ID} \
    CACHE_DIR=/models \
    HF_HUB_OFFLINE=1
