# A server image with pyannote.audio, from any server image: DIARIZER=pyannote. The weights of its
# pipelines are gated: they come from the hub with HF_TOKEN, or from a directory.
ARG BASE=asr-api:latest

FROM ${BASE} AS packages
USER 0
WORKDIR /build
COPY images/constraints.txt images/pyannote.txt ./
ARG TORCH_INDEX=
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --prefix /opt/pyannote \
      ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"} --requirement pyannote.txt \
      --constraint constraints.txt \
 && { python -m compileall -qq --invalidation-mode unchecked-hash /opt/pyannote || true; } \
 && mkdir -p /layer/opt \
 && mv /opt/pyannote /layer/opt/ \
 && find /layer -exec touch --no-dereference --date @0 {} +

FROM ${BASE}
COPY --from=packages /layer/ /
ENV PYTHONPATH=/opt/pyannote/lib/python3.11/site-packages${PYTHONPATH:+:${PYTHONPATH}} \
    DIARIZER=pyannote \
    PYANNOTE_METRICS_ENABLED=0
