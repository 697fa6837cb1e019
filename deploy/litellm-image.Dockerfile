# LiteLLM's own image, not as root, with the role guard from this checkout:
#
#   docker build -f deploy/litellm-image.Dockerfile -t litellm-guarded .
#
# To install a release in place of the checkout, name `litellm-role-guard` where /src stands.
ARG LITELLM_IMAGE=ghcr.io/berriai/litellm-non_root:main-stable
FROM ${LITELLM_IMAGE}

USER 0
# The image's environment has no pip: uv comes for this one step, and leaves what is there as it is.
RUN --mount=from=ghcr.io/astral-sh/uv:0.10.9,source=/uv,target=/bin/uv \
    --mount=type=bind,target=/src,rw \
    uv pip install --no-cache --python "$(command -v python3)" --break-system-packages /src
# nobody, as the image has it
USER 65534

HEALTHCHECK --interval=10s --timeout=10s --start-period=2m \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:4000/health/liveliness', timeout=5)"]
