# The server and its load benchmark in one: starts the server, loads it, prints and reports figures.
# Arguments of benchmark.load are added to the command; AUDIO_DIR, REPORTING_API_URL ... are read.
ARG BASE=asr-api:latest
FROM ${BASE}
COPY benchmark /app/benchmark
COPY models/demo/samples /app/models/demo/samples
ENTRYPOINT ["python", "companion.py", "python", "-m", "benchmark.load", "--wait", "3600"]
CMD []
