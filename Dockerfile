# cleser in a container; corpora are mounted, and the cache of features is a volume:
#
#   docker build -t cleser .                                    # torch as pip has it: on x86-64 with CUDA
#   docker build -t cleser:cpu --build-arg TORCH_INDEX=ADDRESS .  # a smaller torch without CUDA
#   docker run --rm -v cleser-cache:/cache -v DIR:/corpora:ro cleser data describe emodb:/corpora/emodb
#   docker run --rm --gpus all … cleser run erm …               # on a GPU
#
# ADDRESS is the package index of torch without CUDA that torch's installation page names.
FROM python:3.12-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 libsndfile1 \
    && rm -rf /var/lib/apt/lists/*

ARG TORCH_INDEX=""
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "torch>=2.6"

# The extras to install beside it. espeak is GPL-3, the rest permissive.
ARG EXTRAS="espeak,peft"
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY cleser cleser
RUN pip install --no-cache-dir ".[$EXTRAS]"

ENV CLESER_CACHE=/cache
VOLUME /cache
WORKDIR /work
ENTRYPOINT ["cleser"]
