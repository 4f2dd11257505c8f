// The page /access.

export function AccessPage() {
  return (
    <div class="page">
      <h1>Access</h1>
    </div>
  );
}
