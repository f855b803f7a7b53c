"""Rules of Compose files: their schema, and settings that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from settings import Settings

_SCHEMA = json.loads((Path(__file__).parent / "compose.schema.json").read_text())
# `${NAME}`, `${NAME:-default}` and `${NAME:?message}`; `$$` is a dollar sign.
_INTERPOLATION = re.compile(r"\$\$|\$\{[A-Z_]+(:?[-?][^}]*)?\}|(\$)")


class _Loader(yaml.SafeLoader):
    """A loader that refuses a key which comes twice."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    twice = [key for key in keys if keys.count(key) > 1]
    if twice:
        raise yaml.YAMLError(f"line {node.start_mark.line + 1}: the key {twice[0]!r} comes twice")
    return {
        key: loader.construct_object(value, deep=True) for key, (_, value) in zip(keys, node.value)
    }


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def faults(text: str, folder: Path, settings: Settings) -> list[str]:
    """Returns the faults of a Compose file in a folder."""
    try:
        project = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        return [f"is no YAML: {error}"]
    found = [
        f"{'.'.join(map(str, error.path)) or 'the file'}: {error.message}"
        for error in jsonschema.Draft202012Validator(_SCHEMA).iter_errors(project)
    ]
    if found:
        return found
    found = [f"line {line}: write $$ for a dollar sign" for line in _bare_dollars(text)]
    services: dict[str, Any] = project["services"]
    built = {service["image"] for service in services.values() if "build" in service}
    for name, service in services.items():
        own = _service(service, folder, project, services)
        if service["image"].startswith("tinpot"):
            own += settings.faults(
                service.get("command", []), list(service.get("environment", {})), every=False
            )
            if service["image"] not in built:
                own.append(f"no service builds {service['image']}")
        found += [f"services.{name}: {fault}" for fault in own]
    return found


def _bare_dollars(text: str) -> list[int]:
    lines = enumerate(text.splitlines(), 1)
    return [number for number, line in lines for match in _INTERPOLATION.finditer(line) if match[2]]


def _service(
    service: dict[str, Any], folder: Path, project: dict[str, Any], services: dict[str, Any]
) -> list[str]:
    found = []
    if service["image"].split("@")[0].rsplit(":", 1)[1] == "latest":
        found.append(f"the image {service['image']} must name a version")
    for other in service.get("depends_on", {}):
        if other not in services:
            found.append(f"depends on {other}, which is no service")
    if "build" in service:
        context = folder / service["build"]["context"]
        file = context / service["build"].get("dockerfile", "Dockerfile")
        if not file.is_file():
            found.append(f"there is no {file}")
    for volume in service.get("volumes", []):
        source = re.sub(r"^\$\{[A-Z_]+:-([^}]*)\}", r"\1", volume).split(":")[0]
        if source.startswith("."):
            if not (folder / source).exists():
                found.append(f"the volume {source} is not there")
        elif source not in (project.get("volumes") or {}):
            found.append(f"the volume {source} is not declared")
    is_worker = service.get("command", [None])[0] == "worker"
    if is_worker and service.get("restart", "no") in ("always", "unless-stopped"):
        found.append("`restart` brings a drained worker back: use on-failure")
    return found
