"""What a process can tell Prometheus about itself."""

if __name__ != "whence.web.metrics":
    raise ImportError(
        f"import whence.web.metrics, not {__name__}: the folder belongs to the package whence"
    )
