# The plain image with flash-attn, compiled here from its source for the GPUs that it serves: 8.0
# (Ampere and, being binary compatible, Ada's 8.9), 9.0 (Hopper), 10.0 and 12.0 (Blackwell). It takes
# hours of cores and up to 9 GB for each job. CUDA's compiler comes from PyPI, as its libraries do.
ARG BASE=asr-api:latest
ARG BUILDER=python:3.11.14-bookworm

FROM ${BUILDER} AS compiler
WORKDIR /build
COPY requirements.txt images/constraints.txt images/flash-attn.txt ./
RUN python -m venv /build/venv \
 && grep '^torch==' requirements.txt >tools.txt \
 && pip --python /build/venv/bin/python install --no-cache-dir --requirement tools.txt \
      --constraint constraints.txt 'cuda-toolkit[cccl,crt,cudart,nvcc]==13.0.3' \
      ninja==1.13.2 packaging psutil==7.2.2 setuptools wheel==0.48.0 \
 && ln -s libcudart.so.13 /build/venv/lib/python3.11/site-packages/nvidia/cu13/lib/libcudart.so
ENV CUDA_HOME=/build/venv/lib/python3.11/site-packages/nvidia/cu13 \
    PATH=/build/venv/bin:${PATH} \
    FLASH_ATTENTION_FORCE_BUILD=TRUE
# Training's kernels and ALiBi's, most of what there is to compile: no transcription asks for them.
ARG OMITTED="-DFLASHATTENTION_DISABLE_BACKWARD -DFLASHATTENTION_DISABLE_DROPOUT -DFLASHATTENTION_DISABLE_ALIBI"
ARG ARCHITECTURES=80;90;100;120
ARG JOBS=2
RUN CFLAGS="${OMITTED}" NVCC_APPEND_FLAGS="${OMITTED}" FLASH_ATTN_CUDA_ARCHS="${ARCHITECTURES}" \
    MAX_JOBS="${JOBS}" NVCC_THREADS=1 \
    python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --no-binary flash-attn \
      --require-hashes --requirement flash-attn.txt --wheel-dir /build/wheels \
 && python -m pip install --no-cache-dir --no-deps --no-compile --target /layer/opt/flash-attn \
      /build/wheels/*.whl einops==0.8.2 \
 && { python -m compileall -qq --invalidation-mode unchecked-hash /layer || true; } \
 && find /layer -exec touch --no-dereference --date @0 {} +

FROM ${BASE}
COPY --from=compiler /layer/ /
ENV PYTHONPATH=/opt/flash-attn \
    FLASH_ATTENTION_2=1
