"""The documentation page of the HTTP interface."""

if __name__ != "whence.web.reference":
    raise ImportError(
        f"import whence.web.reference, not {__name__}: the folder belongs to the package whence"
    )
