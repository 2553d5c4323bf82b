# One image per service: docker build --build-arg SERVICE=gatekeeper .
# SERVICE is metadata, watcher, gatekeeper, authcontroller, or console (the command that provisions).
# BASE may carry a digest (name:tag@sha256:...); scripts/build-images takes it from the environment.
ARG BASE=python:3.11.16-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
# Only to make shared libraries smaller; nothing is compiled, and none of it reaches the image.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends binutils
COPY . .
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /build/tools \
    && python3 scripts/lock_subset.py hatchling > tools.txt \
    && tools/bin/pip install --quiet --no-deps --require-hashes --requirement tools.txt \
    && tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
ARG SERVICE
# The services do without the command's libraries, and two of them without Kubernetes.
# hadolint ignore=SC2086
RUN case "${SERVICE}" in \
      metadata | watcher) without="typer rich" ;; \
      gatekeeper | authcontroller) without="typer rich kubernetes-asyncio" ;; \
      console) without="kubernetes-asyncio" ;; \
      *) echo "SERVICE must be a service or console, not '${SERVICE}'" >&2; exit 2 ;; \
    esac \
    && python3 scripts/lock_subset.py --without ${without} > runtime.txt \
    && python3 -m venv --without-pip /opt/securetransport \
    && tools/bin/pip --python /opt/securetransport/bin/python install --quiet --no-deps \
         --require-hashes --requirement runtime.txt \
    && tools/bin/pip --python /opt/securetransport/bin/python install --quiet --no-deps dist/*.whl \
    && find /opt/securetransport -name '*.so*' -type f -exec strip --strip-unneeded {} + \
    # The Kubernetes client is a thousand generated modules: their bytecode is enough, undocumented.
    && for client in /opt/securetransport/lib/python3*/site-packages/kubernetes_asyncio; do \
         if [ -d "${client}" ]; then \
           /opt/securetransport/bin/python -OO -m compileall -q -b "${client}" \
           && find "${client}" \( -name '*.py' -o -name __pycache__ \) -prune -exec rm -r {} +; \
         fi; \
       done \
    && /opt/securetransport/bin/python scripts/sbom.py > /opt/securetransport/sbom.cdx.json \
    && if [ "${SERVICE}" = console ]; \
       then entry=securetransport module=console.main; \
       else entry="st-${SERVICE}" module="services.${SERVICE}.app"; fi \
    && ln -s "${entry}" /opt/securetransport/bin/service \
    && /opt/securetransport/bin/python -B -c "import ${module}" \
    && /opt/securetransport/bin/service --help > /dev/null
# Volumes take over the owner of the directory they are first mounted on.
RUN mkdir -p /places/state /places/trust \
    && for place in operator pinned openbao metadata metadata-2 watcher gatekeeper authcontroller prometheus \
         nats/nats-1 nats/nats-2 nats/nats-3 js/nats-1 js/nats-2 js/nats-3; do \
         mkdir -p "/places/stack/${place}"; done

FROM ${BASE}
ARG SERVICE
ARG REVISION=unknown
LABEL org.opencontainers.image.title="securetransport-${SERVICE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/securetransport /opt/securetransport
COPY --from=build --chown=10001:10001 /places/stack /stack
COPY --from=build --chown=10001:10001 /places/state /var/lib/securetransport
COPY --from=build --chown=10001:10001 /places/trust /run/trust
ENV PATH=/opt/securetransport/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 10001:10001
WORKDIR /var/lib/securetransport
EXPOSE 8443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=6 \
    CMD ["/opt/securetransport/bin/python", "-m", "devstack.healthcheck"]
ENTRYPOINT ["/opt/securetransport/bin/service"]
CMD ["--config", "/etc/securetransport/config.yaml"]
