"""A generator of requests, valid and not, against the description that the server gives of itself.

Schemathesis reads /openapi.json and compares each answer with it: no 500, no status, header or body
that is not described, and nothing taken that the description forbids.
"""

import subprocess
import sys
from pathlib import Path

from tests.cli.program import ORDERS, Program

# 412 refuses a request as well as 422 does, which the generator does not know by itself.
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = ["404", "405", "409", "412", "413", "415", "422"]
"""
# Not among them: whether everything valid is accepted, for a domain may refuse it; and whether GET
# /orders/place is described, for it is: as GET /orders/{id}.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
)


def test_no_request_finds_an_answer_that_is_not_described(tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG, encoding="utf-8")
    with Program("dev", ORDERS, "--port", "0", cwd=tmp_path) as program:
        run = subprocess.run(
            [
                *(Path(sys.executable).parent / "schemathesis", "--config-file", config),
                *("run", f"{program.base}/openapi.json", "--checks", ",".join(CHECKS)),
                *("--exclude-path", "/events"),  # its answer has no end
                *("--max-examples", "20", "--continue-on-failure", "--no-color"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        assert "22 selected / 23 total" in run.stdout
        assert "Traceback" not in program.stderr
        assert " ERROR " not in program.stderr
