"""AgentDojo (an environment of its own: requirements-agentdojo.txt) on the computer's drivers."""
