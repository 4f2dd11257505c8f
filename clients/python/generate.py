"""Generates the Python stubs from proto/ into a directory: python generate.py [DIRECTORY]."""

import pathlib
import sys

from grpc_tools import protoc

HERE = pathlib.Path(__file__).resolve().parent
PROTO = HERE.parent.parent / "proto"


def generate(directory: pathlib.Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    # Those of google/api and google/rpc are in the package googleapis-common-protos.
    files = sorted(str(path) for path in (PROTO / "confwatch").rglob("*.proto"))
    out = str(directory)
    arguments = ["protoc", f"-I{PROTO}", f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(arguments + well_known() + files) != 0:
        raise SystemExit("protoc failed")


def well_known() -> list[str]:
    """Where grpcio-tools keeps google/protobuf/*.proto."""
    import importlib.resources

    return [f"-I{importlib.resources.files('grpc_tools') / '_proto'}"]


if __name__ == "__main__":
    generate(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "generated")
