"""The Python example of server/POS-VENDORS.md, run as it is printed there, so that the page cannot drift from the server.

Unlike the tour it uses generated modules, as its readers will; they are generated into a folder that ends with the test.
"""

import importlib.resources
import pathlib
import re
import sys

from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def example(folder):
    """The names that the example defines."""
    generated = pathlib.Path(folder) / "generated"
    generated.mkdir()
    protos = ROOT / "proto"
    files = [str(path.relative_to(protos)) for path in sorted(protos.glob("tillside/v1/*.proto"))]
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    out = [f"--python_out={generated}", f"--grpc_python_out={generated}"]
    if protoc.main(["protoc", f"-I{protos}", f"-I{well_known}", *out, *files]) != 0:
        raise RuntimeError("the .proto files do not compile")
    sys.path.insert(0, str(generated))
    text = (ROOT / "server" / "POS-VENDORS.md").read_text(encoding="utf-8")
    source = re.search(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE).group(1)
    names = {}
    exec(compile(source, "POS-VENDORS.md", "exec"), names)
    return names
