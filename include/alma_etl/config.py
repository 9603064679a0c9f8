"""Settings files in YAML: the shipped default or the object in the bucket, checked, with the line of each fault."""

from datetime import date
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from yaml.nodes import MappingNode, Node, SequenceNode

from alma_etl.errors import InputProblem

Settings = TypeVar("Settings", bound=BaseModel)


def read_settings(text: str, model: type[Settings], *, source: str) -> Settings:
    """Check the YAML ``text`` against ``model``.

    Raises InputProblem with one sentence per fault, each naming ``source`` and the line.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputProblem(f"{source}, line {line}: not readable as YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InputProblem(f"{source}: not readable as YAML: {error}") from error
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise InputProblem(f"{source}, line 1: expected settings of the form `name: value`")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = [
            f"{source}, line {_line_of(node, fault['loc'])}: {'.'.join(map(str, fault['loc']))}: {_said(fault)}"
            for fault in error.errors()
        ]
        raise InputProblem("; ".join(faults)) from error


def _said(fault: ErrorDetails) -> str:
    """What is wrong; codes that look like numbers or yes and no are what YAML most often gets wrong."""
    unquoted = fault["type"] == "string_type" and isinstance(fault["input"], int | float | date)
    return f"{fault['msg']}, put it in quotes" if unquoted else fault["msg"]


def _line_of(node: Node | None, path: tuple[int | str, ...]) -> int:
    """The line of the deepest part of ``path`` that stands in the file."""
    line = 1
    for step in path:
        child: Node | None = None
        if isinstance(node, MappingNode):
            for key, value in node.value:
                if key.value == str(step):
                    line, child = key.start_mark.line + 1, value
        elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
            child = node.value[step]
            line = child.start_mark.line + 1
        if child is None:
            break
        node = child
    return line
