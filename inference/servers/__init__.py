"""An engine for image servers of one's own: SGLang Diffusion, vLLM-Omni, whatever speaks OpenAI's images API."""
