// The page /schemas.

export function SchemasPage() {
  return (
    <div class="page">
      <h1>Schemas</h1>
    </div>
  );
}
