def get_provider_info() -> dict[str, object]:
    return {}
