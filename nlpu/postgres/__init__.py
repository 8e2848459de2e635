"""PostgreSQL databases: how one is named, opened and brought up to date; what its errors mean."""
