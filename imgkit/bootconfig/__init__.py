"""Boot and login configuration: text in, text out. Bytes that are not part of the change stay identical."""
