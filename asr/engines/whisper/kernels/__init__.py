"""The model's layers in int8, compiled from C for CPUs with AVX-512's integer products (VNNI)."""
