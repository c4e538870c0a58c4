"""Text that models and data may hold, made to break out of wherever it is put."""

SCRIPT = "</script><script>window.broken = true</script>"
TEXTS = (
    SCRIPT,
    '<img src=x onerror="window.broken=true">',
    "<!-- <script>",
    "]]></style></title>\u2028\u2029",
    "\"' onmouseover='window.broken=true' x=\"",
    "&lt;b&gt; &amp; ${title} $script {{x}} \\u003c/script>",
    "\ud800 lone surrogate \x00\x1b[31m",
    "javascript:window.broken=true",
    "url(https://example.com/x) http://example.com",
)
EVERYTHING = " ".join(TEXTS)
