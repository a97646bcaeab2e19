# baked.Dockerfile for a model that wants a token: the same, with the token as a build secret, which
# no layer keeps. Needs BuildKit or buildah.
ARG BASE=asr-api:latest

FROM ${BASE} AS weights
WORKDIR /bake
COPY models/demo/weights demo
COPY images/bake.py ./
ARG MODEL_ID
ARG MODEL_REVISION=main
ARG DTYPE=float16
ARG HF_ENDPOINT
RUN --mount=type=secret,id=hf_token,uid=10001 python bake.py "${MODEL_ID}" --revision "${MODEL_REVISION}" --dtype "${DTYPE}" \
      --into /data/layer/models

FROM ${BASE}
COPY --from=weights --chown=0:0 /data/layer/ /
ARG MODEL_ID
ENV MODEL_ID=${MODEL_ID} \
    CACHE_DIR=/models \
    HF_HUB_OFFLINE=1
