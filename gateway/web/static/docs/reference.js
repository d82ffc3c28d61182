// The page of the OpenAPI document. Nothing is fetched from elsewhere: no validator, no query of other documents.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  validatorUrl: null,
  queryConfigEnabled: false,
  syntaxHighlight: { activated: false },
});
