#!/usr/bin/env bash
# Build, tag and push the images: each variant of the server bare, with a model baked in, as a benchmark,
# with pyannote.audio.
set -euo pipefail
cd "$(dirname "$0")"

NAME=asr-api
PYTHON=python:3.11.14-slim-bookworm  # what the images consist of besides
COMPILER=python:3.11.14-bookworm     # the same Python with a compiler, for flash-attn's wheel
BUILDAH=(--format docker --layers)  # HEALTHCHECK is Docker's; else there is one layer

# The matrix: every model with every variant.
MODELS=(
  openai/whisper-large-v3
  distil-whisper/distil-large-v2
  openai/whisper-large-v3-turbo
  distil-whisper/distil-large-v3.5
  demo
)
VARIANTS=(cuda fa2 cpu)
declare -A SUFFIX=([cuda]="" [fa2]=-fa2 [cpu]=-cpu)
declare -A DTYPE=([cuda]=float16 [fa2]=float16 [cpu]=float32)  # the widest that baked weights have
declare -A PLATFORM=([cuda]=linux/amd64 [fa2]=linux/amd64 [cpu]="linux/amd64,linux/arm64")
declare -A CUDA=([cuda]=13.0 [cpu]="")                         # the least that the driver must offer
declare -A TORCH_INDEX=([cuda]="" [cpu]=https://download.pytorch.org/whl/cpu)  # beside PyPI

usage() {
  cat <<END
Usage: ./build.sh [OPTION]... [-- BUILDER_OPTION]...

Without options: the plain image, for CUDA, as $NAME:latest and $NAME:$VERSION.

  --cpu            for CPUs; with --push for amd64 and arm64
  --fa2            with flash-attn, compiled here (hours); the plain image, which it extends, too
  --model ID       the same with the model baked in; may be repeated
  --bench          the same with the load benchmark
  --pyannote       the same with pyannote.audio, for DIARIZER=pyannote
  --all            the whole matrix
  --tag TAG        TAG in the place of latest and $VERSION
  --registry NAME  as NAME/$NAME
  --push           push what was built
  --token FILE     a hub token for gated models, as a build secret (BuildKit or buildah)
  --builder NAME   docker (legacy, BuildKit or buildx) or buildah; docker
  --dry-run        print every command, and run none
  -- OPTION...     handed to every build: --build-arg MODEL_REVISION=..., --network host
END
}

main() {
  VERSION=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' asr/__init__.py)
  REVISION=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
  BUILDER=docker PUSH="" DRY_RUN="" REGISTRY="" TOKEN="" BENCH="" PYANNOTE=""
  tags=(latest "$VERSION") models=() extra=()
  declare -A asked=()
  read_options "$@"
  ((${#asked[@]})) || asked[cuda]=1
  local variant model
  for variant in "${VARIANTS[@]}"; do
    [[ -v asked[$variant] ]] || continue
    build_server "$variant"
    for model in "${models[@]}"; do
      build_baked "$variant" "$model"
    done
    [[ -z $BENCH ]] || build_bench "$variant"
    [[ -z $PYANNOTE ]] || build_pyannote "$variant"
  done
}

read_options() {
  while (($#)); do
    case $1 in
      --all) asked=([cuda]=1 [fa2]=1 [cpu]=1) models=("${MODELS[@]}") BENCH=1 PYANNOTE=1 ;;
      --fa2) asked+=([cuda]=1 [fa2]=1) ;;
      --cpu) asked+=([cpu]=1) ;;
      --bench) BENCH=1 ;;
      --pyannote) PYANNOTE=1 ;;
      --push) PUSH=1 ;;
      --dry-run) DRY_RUN=1 ;;
      --model | --tag | --registry | --token | --builder)
        (($# > 1)) || fail "$1 wants a value"
        case $1 in
          --model) models+=("$2") ;;
          --tag) tags=("$2") ;;
          --registry) REGISTRY=${2%/}/ ;;
          --token) [[ -r $2 ]] || fail "there is no file $2"; TOKEN=$2 ;;
          --builder) [[ $2 == docker || $2 == buildah ]] || fail "no builder $2"; BUILDER=$2 ;;
        esac
        shift
        ;;
      --help | -h) usage; exit ;;
      --) shift; extra=("$@"); break ;;
      *) fail "what is $1?" ;;
    esac
    shift
  done
}

fail() {
  echo "build.sh: $1; see ./build.sh --help" >&2
  exit 2
}

build_server() { # VARIANT
  if [[ $1 == fa2 ]]; then
    build fa2 "" fa2.Dockerfile --build-arg "BASE=$(base cuda)" --build-arg "BUILDER=$COMPILER"
  else
    build "$1" "" server.Dockerfile --build-arg "PYTHON=$PYTHON" --build-arg "CUDA=${CUDA[$1]}" \
      --build-arg "TORCH_INDEX=${TORCH_INDEX[$1]}" \
      --build-arg "VERSION=$VERSION" --build-arg "REVISION=$REVISION"
  fi
}

build_baked() { # VARIANT MODEL
  local name=${2,,} file=baked.Dockerfile secret=()
  [[ -z $TOKEN ]] || file=gated.Dockerfile secret=(--secret "id=hf_token,src=$TOKEN")
  build "$1" "-${name//\//-}" "$file" "${secret[@]}" --build-arg "BASE=$(base "$1")" \
    --build-arg "MODEL_ID=$2" --build-arg "DTYPE=${DTYPE[$1]}"
}

build_bench() { # VARIANT
  build "$1" -bench bench.Dockerfile --build-arg "BASE=$(base "$1")"
}

build_pyannote() { # VARIANT
  build "$1" -pyannote pyannote.Dockerfile --build-arg "BASE=$(base "$1")" \
    --build-arg "TORCH_INDEX=${TORCH_INDEX[$1]-}"
}

base() { # VARIANT: its server image
  echo "$REGISTRY$NAME:${tags[0]}${SUFFIX[$1]}"
}

build() { # VARIANT ENDING DOCKERFILE BUILDER_OPTION...: under every tag, and push it
  local variant=$1 ending=$2 file=images/$3 images=() options=() tag image
  shift 3
  for tag in "${tags[@]}"; do
    images+=("$REGISTRY$NAME:$tag${SUFFIX[$variant]}$ending")
  done
  options=(--file "$file" "$@" "${extra[@]}")
  if [[ $PUSH && ${PLATFORM[$variant]} == *,* ]]; then
    build_and_push_many "${PLATFORM[$variant]}"
    return
  fi
  [[ $BUILDER == docker ]] || options+=("${BUILDAH[@]}")
  for image in "${images[@]}"; do
    options+=(--tag "$image")
  done
  run "$BUILDER" build "${options[@]}" .
  [[ $PUSH ]] || return 0
  for image in "${images[@]}"; do
    run "$BUILDER" push "$image"
  done
}

build_and_push_many() { # PLATFORMS: one tag for several architectures, which no local store holds
  local image
  if [[ $BUILDER == docker ]]; then
    for image in "${images[@]}"; do
      options+=(--tag "$image")
    done
    run docker buildx build --platform "$1" --push "${options[@]}" .
    return
  fi
  run buildah build --platform "$1" "${BUILDAH[@]}" --manifest "${images[0]}" "${options[@]}" .
  for image in "${images[@]}"; do
    run buildah manifest push --all "${images[0]}" "docker://$image"
  done
}

run() {
  local words
  printf -v words ' %q' "$@"
  echo "${words# }"
  [[ $DRY_RUN ]] || "$@"
}

main "$@"
