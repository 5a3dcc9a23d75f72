from typing import TypeVar

from tink import aead as aead
from tink import json_proto_keyset_format as json_proto_keyset_format
from tink import prf as prf
from tink import secret_key_access as secret_key_access

_P = TypeVar("_P")

class KeyTemplate: ...
class TinkError(Exception): ...

class KeysetHandle:
    def primitive(self, primitive_class: type[_P]) -> _P: ...

def new_keyset_handle(key_template: KeyTemplate) -> KeysetHandle: ...
