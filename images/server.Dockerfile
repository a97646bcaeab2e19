# The server. For CUDA and for a CPU alike: the difference is the index that torch comes from, in
# which torch 2.13.0+cpu, say, is preferred to the 2.13.0 (for CUDA 13.0) of PyPI.
# Layers, from the one that changes least: Python, torch, the other packages, the weights that tell
# speakers apart, the code. Times of files are fixed, bytecode is not compared with them, and
# directories come whole out of /layers, so that equal contents are equal layers wherever and
# whenever they are built.
# Of CUDA's gigabytes a fifth is left out: libraries that no library of torch is linked to, parts for
# whoever compiles, and triton, which without a C compiler can only fail. Torch would use it all the
# same, for products of vectors (rotary positions), where it finds it. Its name stays, or pip would
# bring it back.
ARG PYTHON=python:3.11.14-slim-bookworm
ARG BUILDER=${PYTHON}
ARG COMPILER=python:3.11.14-bookworm

FROM ${BUILDER} AS torch
WORKDIR /build
COPY requirements.txt images/constraints.txt ./
ARG TORCH_INDEX=
RUN python -m venv --without-pip /opt/torch \
 && grep '^torch==' requirements.txt >torch.txt \
 && pip --python /opt/torch/bin/python install --no-cache-dir --no-compile \
      ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"} --requirement torch.txt \
      --constraint constraints.txt \
 && rm -rf /opt/torch/lib/python*/site-packages/torch/include \
      /opt/torch/lib/python*/site-packages/torch/test /opt/torch/lib/python*/site-packages/triton \
 && find /opt/torch/lib/python*/site-packages/torch/bin -type f ! -name torch_shm_manager -delete \
 && find /opt/torch/lib/python*/site-packages \( -name '*.alt.so.*' -o -name 'libcusolverMg.*' \
      -o -name 'libnvperf_*' -o -name 'libnvshmem_device.*' -o -name '*.a' \) -delete \
 && { python -m compileall -qq --invalidation-mode unchecked-hash /opt/torch/lib || true; } \
 && mkdir -p /layers/torch/opt \
 && mv /opt/torch /layers/torch/opt/ \
 && ln -s /layers/torch/opt/torch /opt/torch \
 && find /layers/torch -exec touch --no-dereference --date @0 {} +

FROM torch AS packages
RUN python -m venv --without-pip /opt/venv \
 && echo /opt/torch/lib/python3.11/site-packages >/opt/venv/lib/python3.11/site-packages/torch.pth \
 && pip --python /opt/venv/bin/python install --no-cache-dir --no-compile \
      --requirement requirements.txt --constraint constraints.txt \
 && { python -m compileall -qq --invalidation-mode unchecked-hash /opt/venv/lib || true; } \
 && mkdir -p /layers/packages/opt \
 && mv /opt/venv /layers/packages/opt/ \
 && ln -s /layers/packages/opt/venv /opt/venv \
 && find /layers/packages -exec touch --no-dereference --date @0 {} +

FROM ${BUILDER} AS speakers
WORKDIR /layers/speakers/app
COPY models/speakers/weights models/speakers/weights
RUN find /layers/speakers -exec touch --no-dereference --date @0 {} +

# Layers of models in int8, for x86-64 with AVX-512 VNNI: the only part that a C compiler makes.
FROM ${COMPILER} AS kernels
WORKDIR /build/kernels
COPY asr/engines/whisper/kernels ./
RUN [ "$(uname -m)" != x86_64 ] || python build.py

FROM ${BUILDER} AS code
WORKDIR /layers/code/app
COPY server.py images/companion.py images/healthcheck.py images/ping.py images/reallocate.py ./
COPY asr asr
COPY --from=kernels /build/kernels asr/engines/whisper/kernels
RUN python -m compileall -qq --invalidation-mode unchecked-hash -s /layers/code -p / /layers/code \
 && mkdir -p models/demo \
 && ln -s /models/demo models/demo/weights \
 && find /layers/code -exec touch --no-dereference --date @0 {} +

FROM ${PYTHON}
RUN groupadd --gid 10001 asr \
 && useradd --uid 10001 --gid asr --home-dir /data --no-create-home asr \
 && install --directory --owner asr --group asr /data
COPY --from=torch /layers/torch/ /
COPY --from=packages /layers/packages/ /
ARG CUDA=
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/data \
    HF_HUB_DISABLE_TELEMETRY=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_REQUIRE_CUDA=${CUDA:+cuda>=${CUDA}}
WORKDIR /app
USER 10001:10001
EXPOSE 8000 10300
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m --retries=3 \
  CMD ["python", "-IS", "/app/healthcheck.py"]
CMD ["python", "server.py"]
COPY --from=speakers /layers/speakers/ /
COPY --from=code /layers/code/ /
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="asr-api" \
      org.opencontainers.image.description="Speech recognition over HTTP: aiohttp and Whisper" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
