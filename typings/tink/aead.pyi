from tink import KeyTemplate

class Aead:
    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes: ...
    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes: ...

class aead_key_templates:
    AES256_GCM: KeyTemplate

def register() -> None: ...
