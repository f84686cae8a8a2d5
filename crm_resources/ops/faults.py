"""What a database's refusal means, in one sentence that shows neither its address nor a value."""

import sqlite3

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError

BUSY_SECONDS = 30
"""How long a transaction waits for another one."""

_BUSY = f"O banco de operações está ocupado por outra gravação há mais de {BUSY_SECONDS} s."
_NO_PERMISSION = (
    "O usuário de CRM_OPS_URL não tem permissão no banco de operações: ele precisa poder criar, "
    "alterar e gravar tabelas."
)
_NO_SPACE = "O servidor de CRM_OPS_URL está sem espaço ou sem memória."
_NO_ANSWER = (
    "O banco de operações não respondeu: confira o endereço em CRM_OPS_URL e se o servidor está "
    "no ar."
)
_TURNED_AWAY = (
    "O servidor de CRM_OPS_URL recusou a conexão: confira o usuário, a senha e o nome do banco, e "
    "se ele ainda aceita conexões."
)
_LOST = "A conexão com o banco de operações de CRM_OPS_URL caiu; nada ficou gravado pela metade."

_OF_SQLSTATE = {
    "25006": "O banco de CRM_OPS_URL só aceita leitura: use o endereço do servidor principal.",
    "40001": _BUSY,
    "40P01": _BUSY,
    "42501": _NO_PERMISSION,
    "53100": _NO_SPACE,
    "53200": _NO_SPACE,
    "55P03": _BUSY,
    "57014": _BUSY,
}
_OF_SQLITE = {
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_CANTOPEN: "O arquivo do banco de operações não pôde ser aberto.",
    sqlite3.SQLITE_CORRUPT: "O arquivo do banco de operações está corrompido.",
    sqlite3.SQLITE_FULL: "O disco do banco de operações está cheio.",
    sqlite3.SQLITE_IOERR: "O disco do banco de operações falhou.",
    sqlite3.SQLITE_NOTADB: "O arquivo do banco de operações não é um banco SQLite.",
    sqlite3.SQLITE_READONLY: "O arquivo do banco de operações não pode ser gravado.",
}


class BadRecordError(RuntimeError):
    """A record breaks a constraint; the message never shows its values."""


class StoreUnavailableError(RuntimeError):
    """The database cannot be reached or used now; what was being written was not."""


def explained(error: DBAPIError) -> Exception:
    """The error to raise instead: ours when the cause is known, or else `error` itself.

    Raise it `from None`: psycopg's own messages may quote the address, and its errors hold the
    password.
    """
    if isinstance(error, (IntegrityError, DataError)):
        return BadRecordError(
            f"O registro não foi gravado ({type(error).__name__}); "
            "o conteúdo não é mostrado porque pode ser dado pessoal."
        )
    cause = _cause(error)
    return StoreUnavailableError(cause) if cause else error


def _cause(error: DBAPIError) -> str | None:
    raised = error.orig
    if isinstance(raised, sqlite3.Error):
        code = getattr(raised, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        return _OF_SQLITE.get(code & 0xFF)
    known = _OF_SQLSTATE.get(getattr(raised, "sqlstate", None) or "")
    if known or not isinstance(error, (OperationalError, InterfaceError)):
        return known
    if error.connection_invalidated:
        return _LOST
    if error.statement is not None:
        return None
    return _TURNED_AWAY if "FATAL" in str(raised) else _NO_ANSWER
