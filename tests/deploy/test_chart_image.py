"""Where the image comes from: the commands of the READMEs fit together, and the notes tell of one without registry."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from deploy_tools import REPOSITORY, tool
from helm_chart import CHART, objects, pod_template

from tests.deploy.test_chart_commands import notes_of

REGISTRY = "registry.test:5000/team"


def commands(page: Path) -> list[list[str]]:
    """The shell commands of the block that installs the chart, with a registry of the test's."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    (block,) = (block for block in blocks if "helm install" in block)
    lines = block.replace("\\\n", " ").splitlines()
    return [shlex.split(line.replace("$REGISTRY", REGISTRY), comments=True) for line in lines]


@pytest.mark.parametrize("page", [REPOSITORY / "README.md", CHART / "README.md"], ids=["project", "chart"])
def test_what_is_built_and_pushed_is_what_the_pods_run(page: Path) -> None:
    variable, build, push, install, test = commands(page)
    assert variable[0] == "export"
    assert build[:2] == ["docker", "build"]
    options = dict(zip(build[2:-1:2], build[3:-1:2], strict=True))
    dockerfile = REPOSITORY / options["--file"]
    assert re.search(rf"^FROM .* AS {options['--target']}$", dockerfile.read_text(), flags=re.MULTILINE)
    assert push == ["docker", "push", options["--tag"]]
    assert install[:2] == ["helm", "install"]
    made = objects(tool("helm").succeeds("template", *install[2:]))
    found = {f"{each['kind']}/{each['metadata']['name']}": each for each in made}
    containers = [pod_template(found), *(each["spec"]["template"] for each in made if each["kind"] == "Job")]
    images = {container["image"] for pod in containers for container in pod["spec"]["containers"]}
    assert images == {options["--tag"]}
    assert test[:3] == ["helm", "test", install[2]]


@pytest.mark.parametrize(
    ("repository", "warned"),
    [
        ("reviews-worker", True),
        ("team/reviews-worker", True),
        ("registry.example.com/reviews-worker", False),
        ("localhost/reviews-worker", False),
        ("registry:5000/team/reviews-worker", False),
    ],
)
def test_the_notes_warn_of_an_image_without_a_registry(repository: str, warned: bool) -> None:
    notes = notes_of({"kafka": {"bootstrapServers": "kafka:9092"}, "image": {"repository": repository}})
    warning = f"ATTENTION: the image {repository}:0.1.0-cpu names no registry"
    assert (warning in notes) == warned
