"""Plug-ins for vLLM and SGLang."""
