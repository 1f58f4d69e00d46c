"""Bring rows of an EPBD that another program wrote into the schema, whatever types its writer chose."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from p2i_ray.data.schema import IMAGE, INGESTED, REFERENCES
from p2i_ray.errors import UserError

KNOWN = {field.name: field.type for field in (*INGESTED, *REFERENCES)}
TEXTS = tuple(name for name, kind in KNOWN.items() if kind == pa.string())
FILLED = ("name", "category")  # null becomes empty
PICTURES = tuple(name for name, kind in KNOWN.items() if kind == IMAGE)


def is_own(schema: pa.Schema, columns: Sequence[str]) -> bool:
    """Whether these columns of a file have the types of EPBD's own files: only nulls of FILLED are to be replaced."""
    return all(schema.field(column).type == KNOWN[column] for column in columns if column in TEXTS + PICTURES)


def check_once(names: Sequence[str], wanted: Sequence[str], where: str) -> None:
    """Refuse columns that are there twice: which one is meant can't be told, and Arrow finds neither by its name.

    Args:
        names: of all columns of a table.
        wanted: columns that are looked for.
        where: the table, for the message.

    Raises:
        UserError: one of them is there twice.
    """
    for column in wanted:
        if (times := names.count(column)) > 1:
            raise UserError(f"{where}: {times} columns are called {column}; keep one, and rename or drop the rest")


def complaint(schema: pa.Schema, column: str) -> str | None:
    """The fault of a column's type; none: `conform` can read it, or it is not one of EPBD's."""
    kind = schema.field(column).type
    if column in TEXTS and not _is_text(kind, also_integers=column == "id"):
        return f"must be text{', or an integer' if column == 'id' else ''}, not {kind}"
    if column in PICTURES and not _is_picture(kind):
        return f"must be an image struct {{bytes, path}}, or its bytes, not {kind}"
    return None


def conform(batch: pa.Table) -> pa.Table:
    """The batch with EPBD's own types: ids, names and categories as text, pictures as structs {bytes, path}.

    Names and categories that are null become empty; columns that are not EPBD's stay as they are.
    """
    for number, field in enumerate(batch.schema):
        column = batch.column(number)
        if field.name in TEXTS:
            found = as_text(column)
            batch = batch.set_column(number, field.name, found.fill_null("") if field.name in FILLED else found)
        elif field.name in PICTURES:
            batch = batch.set_column(number, field.name, _as_pictures(column))
    return batch


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of any kind of text, of integers or of nothing but nulls as text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string())


def _as_pictures(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([_as_structs(chunk) for chunk in column.chunks], IMAGE)


def _as_structs(pictures: pa.Array) -> pa.Array:
    """A chunk of image structs, of bytes, or of nulls as EPBD's image structs."""
    import pyarrow.compute as pc

    if pa.types.is_null(pictures.type):
        return pa.nulls(len(pictures), IMAGE)
    nothing = pa.nulls(len(pictures), pa.string())
    if not pa.types.is_struct(pictures.type):
        encoded, paths = pictures, nothing
    else:
        encoded = pc.struct_field(pictures, "bytes")
        paths = pc.struct_field(pictures, "path") if pictures.type.get_field_index("path") >= 0 else nothing
    is_null = pc.is_null(pictures)
    return pa.StructArray.from_arrays(
        [encoded.cast(pa.binary()), paths.cast(pa.string())], fields=list(IMAGE), mask=is_null
    )


def _is_text(kind: pa.DataType, *, also_integers: bool) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return any(is_kind(kind) for is_kind in texts) or (also_integers and pa.types.is_integer(kind))


def _is_picture(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind):
        return pa.types.is_null(kind) or _is_bytes(kind)
    place, path = kind.get_field_index("bytes"), kind.get_field_index("path")
    is_named = path < 0 or _is_text(kind.field(path).type, also_integers=False)
    return place >= 0 and is_named and (_is_bytes(kind.field(place).type) or pa.types.is_null(kind.field(place).type))


def _is_bytes(kind: pa.DataType) -> bool:
    return any(found(kind) for found in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view))
