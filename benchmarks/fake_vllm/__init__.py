"""A scripted OpenAI-compatible server that answers, streams and fails as real ones do."""
