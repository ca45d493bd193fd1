"""A script that playbooks load from a file or over HTTP."""


def main(name="World", count=1):
    """Greet somebody so many times."""
    messages = [f"Hello, {name}! ({number})" for number in range(1, int(count) + 1)]
    return {
        "status": "success",
        "messages": messages,
        "total_greetings": len(messages),
        "script_source": "file",
    }
