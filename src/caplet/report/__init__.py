# SPDX-License-Identifier: Apache-2.0
"""What an explanation looks like: pure functions from `Judged` values to text, JSON, YAML and HTML.

`judged` has the value: an Explanation with its causes and remedies. `text` is for a terminal, of the parts `details`, `table`,
`matrix`, `cells`, `colour`; `explainjson` the document of `-o json`, whose schema is explain.schema.json, `yamltext` the same
as YAML; `html` one page, of the template page.html.jinja with the picture of `picture`.

What they say alike: `words`, the sentences; `setnames`, a set of capabilities in few words; `formula`, that of capabilities(7)
with the numbers of one execve. `printable` escapes what is not safe to show.
"""
