"""Training of LoRAMoE adapters on the full profile's vision-language model."""
