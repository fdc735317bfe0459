"""Minutes of bad luck, and a judge who looks from outside: `make chaos`."""
