"""SQL views: ``from whence.sql import Sql, SqlProjection``; needs the extra "sql" or "postgres"."""

try:
    from whence.projections.database import Database, open_database
    from whence.projections.sql import Sql
    from whence.projections.sqlprojection import SqlProjection
except ModuleNotFoundError as _error:
    if _error.name != "sqlalchemy":
        raise
    raise ModuleNotFoundError(
        "SQL views need SQLAlchemy: pip install 'whence[sql]', or 'whence[postgres]'",
        name="sqlalchemy",
    ) from None

__all__ = ["Database", "Sql", "SqlProjection", "open_database"]
