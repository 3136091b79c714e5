"""Positive controls of ``make wheel``: each of its checks refuses a planted fault."""

from __future__ import annotations

import copy
import io
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import bare
import check
import distributions
import interpreters
import pytest
from refused import RefusedError

PLACE = Path("/a/builder/of/wheels")
LINUX = "eplb-0.1.0-cp311-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
MACOS = "eplb-0.1.0-cp311-abi3-macosx_11_0_arm64.whl"
IN_WHEEL = {
    **dict.fromkeys(distributions.IN_BOTH[:-1], b""),
    "eplb-0.1.0.dist-info/licenses/LICENSE": b"",
    "eplb/_core.abi3.so": b"\x7fELF",
}
IN_SOURCE = {
    f"eplb-0.1.0/{name}": b""
    for name in (
        *("LICENSE", *distributions.TO_BUILD),
        *(f"python/{name}" for name in distributions.IN_BOTH[:-1]),
    )
}


def wheel(folder: Path, files: dict[str, bytes], name: str = MACOS) -> Path:
    with zipfile.ZipFile(folder / name, "w") as archive:
        for inner, content in files.items():
            archive.writestr(inner, content)
    return folder / name


def source(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "eplb-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for inner, content in files.items():
            member = tarfile.TarInfo(inner)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_right_distributions_pass(tmp_path: Path) -> None:
    files = IN_WHEEL | {"eplb/_core.pyi": b"not /a/builder/of/wheels_and_axles"}
    distributions.check_wheel(wheel(tmp_path, files), [PLACE], "darwin")
    distributions.check_source(source(tmp_path, IN_SOURCE), [PLACE])


@pytest.mark.parametrize(
    ("planted", "why"),
    [
        ({"eplb/_core.abi3.so": b"at /a/builder/of/wheels/rust.rs"}, "folder of this machine"),
        ({"eplb/sboms/x.json": b"path+file:///a/builder/of/wheels"}, "folder of this machine"),
        ({"eplb/_other.so": b""}, "holds the libraries"),
        ({"tests/loads/x.npz": b""}, "holds .*tests/loads"),
        ({"eplb/__pycache__/planner.cpython-311.pyc": b""}, "holds .*pyc"),
        ({"eplb/large": bytes(distributions.MOST_BYTES)}, "bytes unpacked"),
    ],
)
def test_a_wheel_with_one_file_too_many(
    planted: dict[str, bytes], why: str, tmp_path: Path
) -> None:
    with pytest.raises(RefusedError, match=why):
        distributions.check_wheel(wheel(tmp_path, IN_WHEEL | planted), [PLACE], "darwin")


@pytest.mark.parametrize("missing", IN_WHEEL)
def test_a_wheel_that_lacks_a_file(missing: str, tmp_path: Path) -> None:
    files = {name: content for name, content in IN_WHEEL.items() if name != missing}
    with pytest.raises(RefusedError, match=r"lacks|libraries"):
        distributions.check_wheel(wheel(tmp_path, files), [PLACE], "darwin")


@pytest.mark.parametrize("missing", IN_SOURCE)
def test_a_source_distribution_that_lacks_a_file(missing: str, tmp_path: Path) -> None:
    files = {name: content for name, content in IN_SOURCE.items() if name != missing}
    with pytest.raises(RefusedError, match="lacks"):
        distributions.check_source(source(tmp_path, files), [PLACE])


@pytest.mark.parametrize("planted", ["tests/loads/x.npz", "python/eplb/_core.abi3.so"])
def test_a_source_distribution_with_one_file_too_many(planted: str, tmp_path: Path) -> None:
    files = IN_SOURCE | {f"eplb-0.1.0/{planted}": b""}
    with pytest.raises(RefusedError, match=planted):
        distributions.check_source(source(tmp_path, files), [PLACE])


@pytest.mark.parametrize(
    ("name", "platform"),
    [
        ("eplb-0.1.0-cp311-cp311-macosx_11_0_arm64.whl", "darwin"),
        ("eplb-0.1.0-cp311-abi3-linux_x86_64.whl", "linux"),
        ("eplb-0.1.0-cp311-abi3-manylinux_2_34_x86_64.whl", "linux"),
        (MACOS, "win32"),
    ],
)
def test_a_wheel_of_another_tag(name: str, platform: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="not for"):
        distributions.check_wheel(wheel(tmp_path, IN_WHEEL, name), [PLACE], platform)


@pytest.mark.parametrize(
    ("tag", "libraries", "why"),
    [
        ("manylinux_2_34_x86_64", {}, "its library needs manylinux_2_34_x86_64"),
        ("linux_x86_64", {}, "its library needs linux_x86_64"),
        ("manylinux_2_17_x86_64", {"libssl.so.3": None}, "libssl"),
    ],
)
def test_a_library_that_needs_more_than_is_promised(
    tag: str, libraries: dict[str, None], why: str
) -> None:
    distributions.check_audit(LINUX, {"overall_tag": "manylinux_2_17_x86_64", "external_libs": {}})
    with pytest.raises(RefusedError, match=why):
        distributions.check_audit(LINUX, {"overall_tag": tag, "external_libs": libraries})


def report() -> dict[str, Any]:
    """What ``pip inspect`` would say; torch is only in an extra, colorama for another system."""
    asked = {
        "eplb": ["numpy>=1.26", "rich>=13", "typer>=0.15.4", "torch>=2.3 ; extra == 'torch'"],
        "numpy": [],
        "rich": ["Pygments>=2"],
        "typer": ["rich>=12", "colorama ; platform_system == 'Windows'"],
        "pygments": [],
    }
    installed = [
        {"metadata": {"name": name, "version": "1", "requires_dist": requires}}
        for name, requires in asked.items()
    ]
    return {"installed": installed, "environment": {"platform_system": "Linux"}}


def test_what_comes_with_eplb() -> None:
    company = bare.check_company(report())
    assert company == "numpy 1, rich 1, typer 1, and what these need: pygments"
    bare.check_refuses_a_stowaway(report())


@pytest.mark.parametrize("name", ["stowaway", "torch", "colorama", "pip"])
def test_a_distribution_that_nobody_asked_for(name: str) -> None:
    planted = report()
    planted["installed"].append({"metadata": {"name": name, "version": "1"}})
    with pytest.raises(RefusedError, match=f"nobody asked for .*{name}"):
        bare.check_company(planted)


def test_a_dependency_more_or_less() -> None:
    more, less, gone = (copy.deepcopy(report()) for _ in range(3))
    more["installed"][0]["metadata"]["requires_dist"].append("scipy")
    less["installed"][0]["metadata"]["requires_dist"].remove("rich>=13")
    del gone["installed"][-1]
    with pytest.raises(RefusedError, match=r"asks for .*scipy"):
        bare.check_company(more)
    with pytest.raises(RefusedError, match="asks for"):
        bare.check_company(less)
    with pytest.raises(RefusedError, match=r"not installed: .*pygments"):
        bare.check_company(gone)


def test_a_check_that_sleeps_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bare, "check_company", lambda _: "all well")
    with pytest.raises(RefusedError, match="was not noticed"):
        bare.check_refuses_a_stowaway(report())


def test_the_oldest_dependencies(tmp_path: Path) -> None:
    text = b"Requires-Dist: numpy>=1.26\nRequires-Dist: torch>=2.3 ; extra == 'torch'\n\nText"
    path = wheel(tmp_path, {"eplb-0.1.0.dist-info/METADATA": text})
    assert bare.lowest(path) == ["numpy==1.26"]


def test_a_command_that_fails() -> None:
    with pytest.raises(RefusedError, match="the reason"):
        bare.run(sys.executable, "-c", "import sys; sys.exit('the reason')")


def test_a_python_that_is_not_here() -> None:
    here = "{}.{}".format(*sys.version_info)
    assert interpreters.find(here)[0]
    found, tried = interpreters.find("3.999")
    assert found is None
    assert sys.executable in tried
    assert interpreters.version_of(__file__) is None


def test_nothing_to_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([str(tmp_path)]) == 1
    assert "holds 0 of eplb-*.whl" in capsys.readouterr().err
