"""Settings files in YAML and what a run is given: checked, with a sentence for each fault that a person can act on."""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from types import UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationError,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails, core_schema
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from alma_etl.errors import InputProblem
from alma_etl.store.bucket import Bucket

Settings = TypeVar("Settings", bound=BaseModel)
Path = tuple[int | str, ...]


@dataclass(frozen=True)
class Form:
    """The form that a text must have, as a pattern for programs and in ``words`` for people."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "pattern": self.pattern}

    def _checked(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise ValueError(f"must be {self.words}, not {value!r}")
        return value


def _quoted(value: object) -> object:
    # YAML reads 01 as the number 1 and NO as false: what was meant cannot be known any more.
    if isinstance(value, bool | int | float):
        raise ValueError(f'write it in quotes: YAML takes it for {value!r} otherwise, as in "01"')
    return value


# A code of Alma's, or the id of a connection.
def _known_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {value!r}; write it like America/Los_Angeles") from error
    return value


TimeZone = Annotated[str, AfterValidator(_known_zone)]
"""The name of a time zone."""

Code = Annotated[
    str, BeforeValidator(_quoted), StringConstraints(strip_whitespace=True, min_length=1, max_length=100)
]


@dataclass(frozen=True)
class SettingsFile(Generic[Settings]):
    """The settings of one job: ``key`` in the bucket, and ``package``, which ships a file of the same name.

    What ships names the sandbox's codes where it names any, so that the caller says whether it may be used. Where it
    names nothing of one institution it holds ``everywhere``: the bucket's file adds to its `profiles`, or overrides
    one by its name.
    """

    key: str
    model: type[Settings]
    package: str
    everywhere: bool = False

    @property
    def example(self) -> str:
        """Where the shipped file lies in the repository."""
        return f"include/{self.package.replace('.', '/')}/{self._name}"

    def read(self, bucket: Bucket, *, may_use_shipped: bool) -> Settings | None:
        """Return the bucket's settings, over the shipped ones or instead of them, else the shipped ones where they may
        be used, else None.

        Raises InputProblem with one sentence per fault, each naming the file and the line.
        """
        found = bucket.find(self.key)
        if found is None:
            return self.shipped() if may_use_shipped or self.everywhere else None
        given = read_settings(found, self.model, source=self.key)
        if not self.everywhere:
            return given
        profiles = {**self.shipped().profiles, **given.profiles}  # type: ignore[attr-defined]
        return given.model_copy(update={"profiles": profiles})

    def shipped(self) -> Settings:
        """Return the settings that come with the package."""
        text = (files(self.package) / self._name).read_bytes()
        return read_settings(text, self.model, source=f"the shipped {self._name}")

    @property
    def _name(self) -> str:
        return self.key.rpartition("/")[2]


def read_settings(text: str | bytes, model: type[Settings], *, source: str) -> Settings:
    """Check the YAML ``text`` against ``model``.

    Raises InputProblem with one sentence per fault, each naming ``source`` and the line.
    """
    node, values = _read_yaml(_decoded(text, source) if isinstance(text, bytes) else text, source)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = [
            f"{source}, line {_line_of(node, path)}: {sentence}" for path, sentence in _faults(error, model)
        ]
        raise InputProblem("; ".join(faults)) from error


def sentence_of(error: ValidationError, model: type[BaseModel]) -> str:
    """What is wrong with values that were given to ``model``: one sentence per fault, each naming its field."""
    return "; ".join(sentence for _, sentence in _faults(error, model))


def refuse_unknown(given: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises InputProblem where a run is given something that it would pass over, such as a misspelt `dry_run`."""
    faults = [f"{name}: {unknown(name, known)}" for name in given if name not in known]
    if faults:
        raise InputProblem(f"The run's form or conf holds what this job does not know: {'; '.join(faults)}")


def unknown(name: str, known: Collection[str]) -> str:
    """That a name is not known here, and those that are, the nearest first."""
    near = nearest(name, known)
    guess = f", did you mean {near[0]}?" if difflib.get_close_matches(name.lower(), near[:1]) else "."
    return f"is not known here{guess} Known are {', '.join(near)}" if near else "is not known here"


def nearest(name: str, known: Collection[str]) -> list[str]:
    """The known names, those most like this one first."""
    return sorted(
        known, key=lambda each: (-difflib.SequenceMatcher(None, name.lower(), each.lower()).ratio(), each)
    )


# --- YAML

_HINTS = {
    "'\\t'": "indent with blanks, not with tabs",
    "mapping values are not allowed": "write one `name: value` a line, lines of one level with the same indent, and "
    "put a text with a colon in quotes",
    "could not find expected ':'": "write `name: value`, with a blank after the colon",
    "found unexpected end of stream": "a quote is not closed",
    "found another document": "--- may stand on the first line alone",
}


class _Loader(yaml.SafeLoader):
    """Names the line of a value that cannot be made too, such as the date 2026-13-01."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from error


def _decoded(text: bytes, source: str) -> str:
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise InputProblem(
            f"{source}, line {line}: not UTF-8 text: save the file as UTF-8 in your editor"
        ) from error


def _read_yaml(text: str, source: str) -> tuple[Node | None, dict[Any, Any]]:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        twice = list(_repeated(node))
        values = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InputProblem(
            f"{source}, line {mark.line + 1 if mark else 1}: not readable as YAML: {_words_of(error)}"
        ) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputProblem(
            f"{source}, line {line}: not readable as YAML: a character that no text file has "
            f"(U+{error.character:04X})"
        ) from error
    if twice:
        raise InputProblem("; ".join(f"{source}, line {line}: {sentence}" for line, sentence in twice))
    if values is None:
        values = {}
    if not isinstance(values, dict):
        line = node.start_mark.line + 1 if node else 1
        raise InputProblem(
            f"{source}, line {line}: expected settings of the form `name: value`, not {_kind(values)}"
        )
    return node, values


def _words_of(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "it is not complete"
    begun = error.context_mark.line + 1 if error.context_mark else 0
    ended = error.problem_mark.line + 1 if error.problem_mark else 0
    since = f" in what begins on line {begun}" if begun and begun != ended else ""
    hint = next((f": {words}" for sign, words in _HINTS.items() if sign in problem), "")
    return f"{problem}{since}{hint}"


def _repeated(node: Node | None) -> Iterator[tuple[int, str]]:
    """The lines of names that stand twice in one mapping: YAML would silently take the last."""
    todo, seen = [node] if node else [], set()
    while todo:
        each = todo.pop(0)
        if id(each) in seen:  # an alias
            continue
        seen.add(id(each))
        if isinstance(each, SequenceNode):
            todo += each.value
        elif isinstance(each, MappingNode):
            lines: dict[str, int] = {}
            for key, value in each.value:
                todo.append(value)
                if not isinstance(key, ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                    continue
                line = key.start_mark.line + 1
                if key.value in lines:
                    yield (
                        line,
                        f"{key.value} stands there already, on line {lines[key.value]}: keep one of them",
                    )
                lines.setdefault(key.value, line)


def _line_of(node: Node | None, path: Path) -> int:
    """The line of the deepest part of ``path`` that stands in the file."""
    line = 1
    for step in path:
        child: Node | None = None
        if isinstance(node, MappingNode):
            for key, value in node.value:
                if isinstance(key, ScalarNode) and _is_step(key, step):
                    line, child = key.start_mark.line + 1, value
        elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
            child = node.value[step]
            line = child.start_mark.line + 1
        if child is None:
            break
        node = child
    return line


def _is_step(key: ScalarNode, step: int | str) -> bool:
    """Whether a step of a path is this key; 01 without quotes is the key 1."""
    return key.value == str(step) or (key.style is None and str(yaml.safe_load(key.value)) == str(step))


# --- sentences


def _faults(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[Path, str]]:
    for fault in error.errors():
        path = tuple(step for step in fault["loc"] if step != "[key]")
        name = ".".join(map(str, path))
        sentence = _said(fault, model)
        yield path, f"{name}: {sentence}" if name else sentence


def _said(fault: ErrorDetails, model: type[BaseModel]) -> str:
    """What is wrong with one value, and what to write instead."""
    kind, given, context = fault["type"], fault["input"], fault.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        return str(context["error"])
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        parent = _model_at(model, fault["loc"][:-1])
        fields = parent.model_fields if parent else {}
        return unknown(str(fault["loc"][-1]), [each.alias or name for name, each in fields.items()])
    if kind in ("string_type", "invalid_key"):
        # A secret may stand in the wrong place: what was given is not repeated.
        unquoted = isinstance(given, int | float | date)
        return "must be text, put it in quotes" if unquoted else f"must be text, not {_kind(given)}"
    if kind in ("literal_error", "enum"):
        return f"must be {str(context['expected']).replace(chr(39), '')}, not {_shown(given)}"
    if kind in _LIMITS:
        words, bound = _LIMITS[kind]
        return f"{words.format(context[bound])}, not {_shown(given)}"
    wanted = next((words for start, words in _WANTED.items() if kind.startswith(start)), None)
    if wanted:
        return f"must be {wanted}, not {_shown(given)}"
    if kind in ("string_too_short", "too_short"):
        return "must not be empty"
    if kind in ("string_too_long", "too_long"):
        return f"is longer than {context['max_length']}"
    return fault["msg"]


_LIMITS = {
    "greater_than_equal": ("must be at least {}", "ge"),
    "greater_than": ("must be more than {}", "gt"),
    "less_than_equal": ("must be at most {}", "le"),
    "less_than": ("must be less than {}", "lt"),
}
# The kinds of pydantic by how they begin: int_type, int_parsing, int_from_float, ...
_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a number",
    "bool": "true or false",
    "dict": "settings of the form `name: value`",
    "model": "settings of the form `name: value`",
    "datetime": "a time like 2026-11-02T10:00:00Z",
    "timezone": "a time with its zone, like 2026-11-02T10:00:00Z",
    "list": "a list, such as [a, b]",
    "tuple": "a list, such as [a, b]",
    "set_type": "a list, such as [a, b]",
}


def _shown(value: object) -> str:
    if isinstance(value, str) and len(value) > 60:
        return "such a long text"
    return (
        repr(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else _kind(value)
    )


def _kind(value: object) -> str:
    """What a value is called where its own words would not help."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple | set) else "a single value"


def _model_at(kind: Any, path: Path) -> type[BaseModel] | None:
    """The model that stands at a path of another."""
    for step in path:
        model = _model_of(kind)
        if model is not None:
            field = model.model_fields.get(str(step))
            kind = field.annotation if field else None
        else:  # a dict or a list
            arguments = get_args(_bare(kind))
            kind = arguments[1 if get_origin(_bare(kind)) is dict else 0] if arguments else None
    return _model_of(kind)


def _model_of(kind: Any) -> type[BaseModel] | None:
    kind = _bare(kind)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _bare(kind: Any) -> Any:
    """A type without its constraints, and without "or nothing"."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return _bare(next(each for each in get_args(kind) if each is not type(None)))
    return kind
