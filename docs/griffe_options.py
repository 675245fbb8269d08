"""Docstrings as the reference shows them: settings with their descriptions, examples as code."""

import ast
import re
import textwrap

import griffe

EXAMPLE = re.compile(r"^Example:\n+(.*)", re.MULTILINE | re.DOTALL)


class Docstrings(griffe.Extension):
    """Adds to docstrings what static analysis does not see."""

    def on_class_members(self, *, cls, **kwargs):
        """List the fields of a configuration, as `vxm_tf.configuration.described` does when it is imported."""
        if cls.docstring is None or not any("described" in str(decorator.value) for decorator in cls.decorators):
            return
        described = ((name, _description(member)) for name, member in cls.members.items() if member.is_attribute)
        lines = [f"    {name}: {text}" for name, text in described if text]
        cls.docstring.value = "\n".join([cls.docstring.value.rstrip(), "", "Attributes:", *lines, ""])

    def on_object(self, *, obj, **kwargs):
        """Write an example, the last part of a docstring, as the section that griffe knows."""
        if obj.docstring is not None:
            obj.docstring.value = EXAMPLE.sub(_section, obj.docstring.value)


def _section(match):
    return "Examples:\n" + textwrap.indent(textwrap.dedent(match.group(1)), "    ")


def _description(attribute):
    """The second argument of `option(default, description)`; empty for another value."""
    try:
        call = ast.parse(str(attribute.value), mode="eval").body
        return ast.literal_eval(call.args[1])
    except (AttributeError, IndexError, SyntaxError, ValueError):
        return ""
