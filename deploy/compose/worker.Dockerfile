# A worker with packages of its own, on the image of Tinpot.
ARG TINPOT_IMAGE=tinpot:0.1.0
FROM ${TINPOT_IMAGE}
ARG PACKAGES=""
USER root
RUN test -z "${PACKAGES}" || python3 -m pip install --no-cache-dir ${PACKAGES}
USER tinpot
# A worker has no port to ask.
HEALTHCHECK NONE
CMD ["worker"]
