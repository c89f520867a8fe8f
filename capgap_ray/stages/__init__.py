"""The Ray shell: the only importer of Ray (and, in one file each, of vLLM and DeepSpeed). Thin."""
