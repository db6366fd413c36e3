"""A Transit server and an AWS KMS at the HTTP edge, on this machine: as they answer, so far as the product asks them.

`fake.trouble` is what is wrong with one; `fake.calls` what it was asked.
"""

import base64
import json
import os
import re
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Answer(Exception):
    """Ends the handling of a call with this answer."""

    def __init__(self, status, body):
        self.status, self.body = status, body


class Silence(Exception):
    """Ends the handling of a call without one."""


class Fake:
    """A server in a thread of its own."""

    content_type = "application/json"

    def __init__(self):
        self.trouble, self.calls = None, []
        self.done = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    status, answer = 200, fake.answer(self)
                except Answer as given:
                    status, answer = given.status, given.body
                except Silence:
                    self.close_connection = True
                    return
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", fake.content_type)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST

            def log_message(self, *_words):
                """Nothing: the tests' output is pytest's."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def hang(self):
        """Say nothing for longer than anybody waits."""
        self.done.wait(20)
        raise Silence

    def stop(self):
        self.done.set()
        self._server.shutdown()
        self._server.server_close()


def _b64(data):
    return base64.b64encode(data).decode()


class TransitServer(Fake):
    """Vault's API: /v1/transit/{encrypt,decrypt}/NAME, AppRole sign-in, and what a token can ask about itself."""

    def __init__(self):
        super().__init__()
        self.versions = {1: AESGCM.generate_key(256)}
        self.oldest = 1
        #: whether associated data counts: servers before 1.13 take it and leave it out
        self.binds = True
        self.tokens = {"root-of-the-test"}
        self.lease, self.renewable, self.may_look_up = 3600, True, True
        self.role, self.secret = "role-1", "secret-1"
        self.key = "telehealth"

    def rotate(self):
        self.versions[max(self.versions) + 1] = AESGCM.generate_key(256)

    def answer(self, request):
        path = request.path
        self.calls.append(path)
        if self.trouble == "hang":
            self.hang()
        if self.trouble == "sealed":
            raise Answer(503, {"errors": ["Vault is sealed"]})
        if self.trouble == "html":
            raise Answer(200, b"<html>a portal</html>")
        if isinstance(self.trouble, int):
            raise Answer(self.trouble, {"errors": ["an error of the test"]})
        body = json.loads(request.body or b"{}")
        if path == "/v1/auth/approle/login":
            return self._login(body)
        if request.headers.get("X-Vault-Token") not in self.tokens:
            raise Answer(403, {"errors": ["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]})
        return self._signed_in(path, body)

    def _signed_in(self, path, body):
        if path == "/v1/auth/token/lookup-self":
            if not self.may_look_up:
                raise Answer(403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]})
            return {"data": {"ttl": self.lease, "renewable": self.renewable, "creation_ttl": self.lease}}
        if path == "/v1/auth/token/renew-self":
            if self.trouble == "no renewal":
                raise Answer(403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]})
            return {"auth": {"client_token": "?", "lease_duration": self.lease, "renewable": self.renewable}}
        if self.trouble == "denied":
            raise Answer(403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]})
        asked = re.fullmatch(r"/v1/transit/(encrypt|decrypt)/([\w-]+)", path)
        if not asked:
            raise Answer(404, {"errors": [f'no handler for route "{path[4:]}". route entry not found.']})
        if asked[2] != self.key:
            raise Answer(400, {"errors": ["encryption key not found"]})
        bound = base64.b64decode(body.get("associated_data", "")) if self.binds else b""
        return {"data": self._encrypt(body, bound) if asked[1] == "encrypt" else self._decrypt(body, bound)}

    def _login(self, body):
        if (body["role_id"], body["secret_id"]) != (self.role, self.secret):
            raise Answer(400, {"errors": ["invalid role or secret ID"]})
        token = "hvs." + secrets.token_hex(12)
        self.tokens.add(token)
        return {"auth": {"client_token": token, "lease_duration": self.lease, "renewable": True, "policies": []}}

    def _encrypt(self, body, bound):
        version, nonce = max(self.versions), os.urandom(12)
        sealed = nonce + AESGCM(self.versions[version]).encrypt(nonce, base64.b64decode(body["plaintext"]), bound)
        return {"ciphertext": f"vault:v{version}:{_b64(sealed)}", "key_version": version}

    def _decrypt(self, body, bound):
        parts = re.fullmatch(r"vault:v(\d+):(.+)", body["ciphertext"])
        if not parts:
            raise Answer(400, {"errors": ["invalid ciphertext: no prefix"]})
        version, sealed = int(parts[1]), base64.b64decode(parts[2])
        if version not in self.versions:
            raise Answer(400, {"errors": ["invalid ciphertext: version is too new"]})
        if version < self.oldest:
            raise Answer(400, {"errors": ["ciphertext or signature version is disallowed by policy (too old)"]})
        try:
            return {"plaintext": _b64(AESGCM(self.versions[version]).decrypt(sealed[:12], sealed[12:], bound))}
        except InvalidTag:
            raise Answer(400, {"errors": ["cipher: message authentication failed"]}) from None


class KmsServer(Fake):
    """AWS KMS, JSON 1.1: Encrypt and Decrypt under symmetric keys, with their encryption context."""

    content_type = "application/x-amz-json-1.1"
    arn = "arn:aws:kms:eu-central-1:111122223333:key/"

    def __init__(self):
        super().__init__()
        self.keys = {f"1234abcd-12ab-34cd-56ef-{n:012d}": AESGCM.generate_key(256) for n in (1, 2)}
        self.contexts = []

    @property
    def key_id(self):
        return next(iter(self.keys))

    def answer(self, request):
        action = request.headers.get("X-Amz-Target", "")
        self.calls.append(action)
        if self.trouble == "hang":
            self.hang()
        signed = request.headers.get("Authorization", "")
        if not re.match(
            r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/eu-central-1/kms/aws4_request, SignedHeaders=", signed
        ):
            raise Answer(
                400, {"__type": "MissingAuthenticationTokenException", "message": "Missing Authentication Token"}
            )
        if self.trouble:
            status, kind = self.trouble
            raise Answer(status, {"__type": kind, "message": "as the test wants it"})
        body = json.loads(request.body)
        self.contexts.append(body.get("EncryptionContext"))
        bound = json.dumps(body.get("EncryptionContext", {}), sort_keys=True).encode()
        return {"TrentService.Encrypt": self._encrypt, "TrentService.Decrypt": self._decrypt}[action](body, bound)

    def _named(self, body):
        name = body["KeyId"].removeprefix(self.arn)
        if name not in self.keys:
            raise Answer(400, {"__type": "NotFoundException", "message": f"Key '{self.arn}{name}' does not exist"})
        return name

    def _encrypt(self, body, bound):
        name, nonce = self._named(body), os.urandom(12)
        blob = (
            name.encode() + nonce + AESGCM(self.keys[name]).encrypt(nonce, base64.b64decode(body["Plaintext"]), bound)
        )
        return {"KeyId": self.arn + name, "CiphertextBlob": _b64(blob), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}

    def _decrypt(self, body, bound):
        blob = base64.b64decode(body["CiphertextBlob"])
        name = blob[:36].decode("ascii", "replace")
        if name not in self.keys:
            raise Answer(400, {"__type": "InvalidCiphertextException"})
        if self._named(body) != name:
            raise Answer(400, {"__type": "IncorrectKeyException", "message": "The key ID in the request is another."})
        try:
            plain = AESGCM(self.keys[name]).decrypt(blob[36:48], blob[48:], bound)
        except InvalidTag:
            raise Answer(400, {"__type": "InvalidCiphertextException"}) from None
        return {"KeyId": self.arn + name, "Plaintext": _b64(plain), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}
